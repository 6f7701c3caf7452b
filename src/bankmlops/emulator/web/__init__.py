"""What every route stands on: certificates, proxy, routing, sign-in, errors and recording."""
