"""The device's HTTP face (extra `http`): one page with live views, numbers and events, and endpoints for programs.

It is given what it shows (`given.Given`) and knows no agent. Nothing here waits in a camera's line: views are drawn in
threads of their own, and only while somebody looks.
"""
