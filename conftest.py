pytest_plugins = ["slimgate.plugin"]
