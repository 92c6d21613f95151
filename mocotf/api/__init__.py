"""What commands do: functions of what a user asked for, by flags or by arguments in Python."""
