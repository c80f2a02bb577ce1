"""How drift is made right: the rule for one key, the plan file a person reads before it is applied."""
