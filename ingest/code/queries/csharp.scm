(class_declaration name: (identifier) @name) @class
(struct_declaration name: (identifier) @name) @class
(record_declaration name: (identifier) @name) @class
(interface_declaration name: (identifier) @name) @interface
(enum_declaration name: (identifier) @name) @enum
(enum_member_declaration name: (identifier) @name) @constant
(delegate_declaration name: (identifier) @name) @type
(namespace_declaration name: (_) @name) @module
(method_declaration name: (identifier) @name) @method
(constructor_declaration name: (identifier) @name) @method
(destructor_declaration name: (identifier) @name) @method
(local_function_statement name: (identifier) @name) @function
(property_declaration name: (identifier) @name) @variable
(event_declaration name: (identifier) @name) @variable
(field_declaration (variable_declaration (variable_declarator name: (identifier) @name))) @variable
(comment) @above

(using_directive) @import

(base_list [(identifier) @inherit (generic_name (identifier) @inherit) (qualified_name qualifier: (_) @qualifier name: (identifier) @inherit)])
(invocation_expression function: (identifier) @call)
(invocation_expression function: (generic_name (identifier) @call))
(invocation_expression function: (member_access_expression expression: (_) @qualifier name: (identifier) @call))
(invocation_expression function: (member_access_expression expression: (_) @qualifier name: (generic_name (identifier) @call)))
(object_creation_expression type: (identifier) @call)
(object_creation_expression type: (generic_name (identifier) @call))
(attribute name: (identifier) @type_use)
(variable_declaration type: (identifier) @type_use)
(parameter type: (identifier) @type_use)
(method_declaration returns: (identifier) @type_use)
(property_declaration type: (identifier) @type_use)
(type_argument_list (identifier) @type_use)
(member_access_expression expression: (_) @qualifier name: (identifier) @use)
(identifier) @use
(parameter name: (identifier) @bound)
