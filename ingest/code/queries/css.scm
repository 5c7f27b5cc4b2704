(rule_set (selectors) @name) @type
(keyframes_statement (keyframes_name) @name) @type
(comment) @above
(import_statement) @import
