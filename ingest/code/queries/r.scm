(program (binary_operator lhs: (identifier) @name rhs: (function_definition)) @function)
(binary_operator lhs: (identifier) @name rhs: (function_definition)) @function
(program (binary_operator lhs: (identifier) @name operator: ["<-" "="]) @variable)
(comment) @above
((call function: (identifier) @_library) @import (#any-of? @_library "library" "require" "source"))
(call function: (identifier) @call)
(call function: (namespace_operator lhs: (_) @qualifier rhs: (identifier) @call))
(identifier) @use
(parameter name: (identifier) @bound)
