; Definitions
(class_definition name: (identifier) @name) @class
(function_definition name: (identifier) @name) @function
(decorated_definition definition: (class_definition name: (identifier) @name)) @class
(decorated_definition definition: (function_definition name: (identifier) @name)) @function
(assignment left: (identifier) @name) @variable
(assignment left: (pattern_list (identifier) @name)) @variable
(assignment left: (tuple_pattern (identifier) @name)) @variable
(type_alias_statement left: (type [(identifier) @name (generic_type (identifier) @name)])) @type
(comment) @above
(class_definition body: (block . (string) @doc))
(function_definition body: (block . (string) @doc))

; Imports
(import_statement) @import
(import_from_statement) @import
(future_import_statement) @import

; Uses
(call function: (identifier) @call)
(call function: (attribute object: (_) @qualifier attribute: (identifier) @call))
(class_definition superclasses: (argument_list (identifier) @inherit))
(class_definition superclasses: (argument_list (attribute object: (_) @qualifier attribute: (identifier) @inherit)))
(class_definition superclasses: (argument_list (subscript value: (identifier) @inherit)))
(class_definition superclasses: (argument_list (subscript value: (attribute object: (_) @qualifier attribute: (identifier) @inherit))))
(attribute object: (_) @qualifier attribute: (identifier) @use)
(identifier) @use
; pytest gives to tests and fixtures, by the names of their parameters, what fixtures of these names make
((function_definition name: (identifier) @_name parameters: (parameters [(identifier) @fixture (typed_parameter . (identifier) @fixture)]))
  (#match? @_name "^test") (#not-eq? @fixture "self"))
((decorated_definition (decorator [(identifier) @_made (attribute attribute: (identifier) @_made) (call function: [(identifier) @_made (attribute attribute: (identifier) @_made)])])
  definition: (function_definition parameters: (parameters [(identifier) @fixture (typed_parameter . (identifier) @fixture)])))
  (#eq? @_made "fixture") (#not-eq? @fixture "self"))

; Names that mean nothing beyond, and names that functions give to what is their own
(keyword_argument name: (identifier) @label)
(parameters (identifier) @bound)
(parameters (typed_parameter . (identifier) @bound))
(default_parameter name: (identifier) @bound)
(typed_default_parameter name: (identifier) @bound)
(lambda_parameters (identifier) @bound)
(for_statement left: (identifier) @bound)
(assignment left: (identifier) @bound)
(for_in_clause left: (identifier) @bound)
(as_pattern_target (identifier) @bound)
