; Beside javascript.scm.
(class_declaration name: (type_identifier) @name) @class
(abstract_class_declaration name: (type_identifier) @name) @class
(interface_declaration name: (type_identifier) @name) @interface
(enum_declaration name: (identifier) @name) @enum
(type_alias_declaration name: (type_identifier) @name) @type
(internal_module name: (_) @name) @module
(module name: (_) @name) @module
(function_signature name: (identifier) @name) @function
(export_statement declaration: (class_declaration name: (type_identifier) @name)) @class
(export_statement declaration: (abstract_class_declaration name: (type_identifier) @name)) @class
(export_statement declaration: (interface_declaration name: (type_identifier) @name)) @interface
(export_statement declaration: (enum_declaration name: (identifier) @name)) @enum
(export_statement declaration: (type_alias_declaration name: (type_identifier) @name)) @type
(export_statement declaration: (internal_module name: (_) @name)) @module
(export_statement declaration: (function_signature name: (identifier) @name)) @function
(ambient_declaration (function_signature name: (identifier) @name)) @function
(ambient_declaration (class_declaration name: (type_identifier) @name)) @class
(abstract_method_signature name: (_) @name) @method
(method_signature name: (_) @name) @method
(interface_body (property_signature name: (_) @name) @variable)
(public_field_definition name: (_) @name value: [(arrow_function) (function_expression)]) @method
(public_field_definition name: (_) @name) @variable
(decorator) @above

(import_alias) @import

(extends_clause value: (identifier) @inherit)
(extends_clause value: (member_expression object: (_) @qualifier property: (_) @inherit))
(extends_type_clause (type_identifier) @inherit)
(extends_type_clause (generic_type name: (type_identifier) @inherit))
(implements_clause (type_identifier) @inherit)
(implements_clause (generic_type name: (type_identifier) @inherit))
(type_identifier) @type_use
(required_parameter pattern: (identifier) @bound)
(optional_parameter pattern: (identifier) @bound)
