; Of JavaScript alone: in TypeScript's grammar a class's name is a type.
(class_declaration name: (identifier) @name) @class
(export_statement declaration: (class_declaration name: (identifier) @name)) @class
(class_body (field_definition property: (_) @name value: [(arrow_function) (function_expression)]) @method)
(class_body (field_definition property: (_) @name) @variable)
(class_heritage (identifier) @inherit)
(class_heritage (member_expression object: (_) @qualifier property: (_) @inherit))
(formal_parameters (identifier) @bound)
