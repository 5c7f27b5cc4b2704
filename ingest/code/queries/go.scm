(function_declaration name: (identifier) @name) @function
(method_declaration receiver: (parameter_list (parameter_declaration type: [
  (type_identifier) @owner
  (pointer_type (type_identifier) @owner)
  (generic_type type: (type_identifier) @owner)
  (pointer_type (generic_type type: (type_identifier) @owner))])) name: (field_identifier) @name) @method
(type_spec name: (type_identifier) @name type: (struct_type)) @class
(type_spec name: (type_identifier) @name type: (interface_type)) @interface
(type_spec name: (type_identifier) @name) @type
(type_alias name: (type_identifier) @name) @type
; One alone is all of its declaration.
(type_declaration . (type_spec name: (type_identifier) @name) .) @type
(type_declaration . (type_alias name: (type_identifier) @name) .) @type
(const_spec name: (identifier) @name) @constant
(const_declaration . (const_spec name: (identifier) @name) .) @constant
(var_spec name: (identifier) @name) @variable
(var_declaration . (var_spec name: (identifier) @name) .) @variable
(interface_type (method_elem name: (field_identifier) @name) @method)
(struct_type (field_declaration_list (field_declaration name: (field_identifier) @name) @variable))
(comment) @above

(import_spec) @import

(call_expression function: (identifier) @call)
(call_expression function: (selector_expression operand: (_) @qualifier field: (field_identifier) @call))
(struct_type (field_declaration_list (field_declaration !name type: (type_identifier) @inherit)))
(struct_type (field_declaration_list (field_declaration !name type: (pointer_type (type_identifier) @inherit))))
(struct_type (field_declaration_list (field_declaration !name type: (qualified_type package: (_) @qualifier name: (type_identifier) @inherit))))
(interface_type (type_elem (type_identifier) @inherit))
(composite_literal type: (type_identifier) @call)
(composite_literal type: (qualified_type package: (_) @qualifier name: (type_identifier) @call))
(qualified_type package: (_) @qualifier name: (type_identifier) @type_use)
(selector_expression operand: (_) @qualifier field: (field_identifier) @use)
((type_identifier) @type_use (#not-any-of? @type_use "any" "bool" "byte" "error" "float32" "float64" "int" "int32" "int64" "rune" "string" "uint" "uint32" "uint64"))
(identifier) @use
(parameter_declaration name: (identifier) @bound)
(short_var_declaration left: (expression_list (identifier) @bound))
