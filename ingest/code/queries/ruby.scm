(class name: (_) @name) @class
(module name: (_) @name) @module
(method name: (_) @name) @function
(singleton_method name: (_) @name) @function
(assignment left: (constant) @name) @constant
(comment) @above

(call method: (identifier) @_require (#any-of? @_require "require" "require_relative" "load" "autoload")) @import

(superclass [(constant) @inherit (scope_resolution scope: (_) @qualifier name: (constant) @inherit)])
(call !receiver method: (identifier) @call)
(call receiver: (_) @qualifier method: (identifier) @call)
((call method: (identifier) @_mixin arguments: (argument_list (constant) @inherit)) (#any-of? @_mixin "include" "extend" "prepend"))
(scope_resolution scope: (_) @qualifier name: (constant) @type_use)
(constant) @type_use
(identifier) @use
(method_parameters (identifier) @bound)
(block_parameters (identifier) @bound)
(assignment left: (identifier) @bound)
