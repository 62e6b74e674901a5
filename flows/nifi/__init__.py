"""The host that NiFi is: what its processors do, how they get our code, and how flows of them are deployed."""
