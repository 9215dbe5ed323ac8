"""The widget panel: small parts, each a view over the session. `panel` ties them together."""
