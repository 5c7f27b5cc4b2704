(create_table (object_reference name: (identifier) @name)) @class
(create_view (object_reference name: (identifier) @name)) @class
(create_materialized_view (object_reference name: (identifier) @name)) @class
(create_type (object_reference name: (identifier) @name)) @type
(create_function (object_reference name: (identifier) @name)) @function
(create_index column: (identifier) @name) @variable
(create_trigger . (_) (object_reference name: (identifier) @name)) @function
(column_definition name: (identifier) @name) @variable
(comment) @above
(invocation (object_reference name: (identifier) @call))
(relation (object_reference name: (identifier) @type_use))
(column_definition (object_reference name: (identifier) @type_use))
