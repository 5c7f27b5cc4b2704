(class_declaration (type_identifier) @name) @class
(class_declaration "interface" (type_identifier) @name) @interface
(class_declaration "enum" (type_identifier) @name) @enum
(object_declaration (type_identifier) @name) @class
(companion_object (type_identifier) @name) @class
(function_declaration (simple_identifier) @name) @function
(property_declaration (variable_declaration (simple_identifier) @name)) @variable
(enum_entry (simple_identifier) @name) @constant
(type_alias (type_identifier) @name) @type
[(line_comment) (multiline_comment)] @above

(import_header) @import

(delegation_specifier (user_type (type_identifier) @inherit))
(delegation_specifier (constructor_invocation (user_type (type_identifier) @inherit)))
(call_expression . (simple_identifier) @call)
(call_expression . (navigation_expression . (_) @qualifier (navigation_suffix (simple_identifier) @call)))
(navigation_expression . (_) @qualifier (navigation_suffix (simple_identifier) @use))
(user_type (type_identifier) @type_use)
(simple_identifier) @use
(parameter (simple_identifier) @bound)
