(class_declaration name: (type_identifier) @name) @class
(class_declaration "enum" name: (type_identifier) @name) @enum
(class_declaration "extension" name: (user_type (type_identifier) @name)) @scope
(protocol_declaration name: (type_identifier) @name) @interface
(function_declaration name: (simple_identifier) @name) @function
(protocol_function_declaration name: (simple_identifier) @name) @method
(init_declaration name: "init" @name) @method
(property_declaration name: (pattern (simple_identifier) @name)) @variable
(protocol_property_declaration name: (pattern (simple_identifier) @name)) @variable
(enum_entry name: (simple_identifier) @name) @constant
(typealias_declaration name: (type_identifier) @name) @type
[(comment) (multiline_comment)] @above

(import_declaration) @import

(inheritance_specifier inherits_from: (user_type (type_identifier) @inherit))
(call_expression . (simple_identifier) @call)
(call_expression . (navigation_expression target: (_) @qualifier suffix: (navigation_suffix suffix: (simple_identifier) @call)))
(navigation_expression target: (_) @qualifier suffix: (navigation_suffix suffix: (simple_identifier) @use))
(user_type (type_identifier) @type_use)
(simple_identifier) @use
(parameter name: (simple_identifier) @bound)
