"""The console: the platform as people see it, in a browser.

Pages are rendered here, from what the platform's own REST API says to whoever is signed in: the console knows no
database and no event, and can do nothing that REST cannot. It is mounted beside the API and could run elsewhere.
"""
