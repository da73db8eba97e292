class Static:
    name = "static"
class Tempor:
    name = "tempor"
