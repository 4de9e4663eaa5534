"""A telephone caller for tests and demos: the peers of the telephone transports, written from their contracts.

It shares no code with `transports/telephony`, so that a contract misread there is not misread here too.
"""
