"""The plug-ins of slimgate: a base class for each kind, and how a name leads to one."""
