"""A shop's support desk by voice: seven tools on a real database, and the assistants that use them.

The package lies in `examples/`: put that on the path (`cd examples`), and it is `support_desk`.
"""
