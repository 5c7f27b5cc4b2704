(function_declaration name: (_) @name) @function
(assignment_statement (variable_list name: (_) @name) (expression_list value: (function_definition))) @function
(chunk (variable_declaration (assignment_statement (variable_list name: (identifier) @name))) @variable)
(comment) @above
(variable_declaration (assignment_statement (variable_list name: (identifier)) (expression_list value: (function_call name: (identifier) @_require))) (#eq? @_require "require")) @import
(function_call name: (identifier) @call)
(function_call name: (dot_index_expression table: (_) @qualifier field: (identifier) @call))
(function_call name: (method_index_expression table: (_) @qualifier method: (identifier) @call))
(identifier) @use
(parameters name: (identifier) @bound)
