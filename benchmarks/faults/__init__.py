"""What is lost when things go wrong: a real study under real Ray, with processes killed, disks
filled and files damaged while it runs.
"""
