"""Charts as plain values for Plotly's JavaScript. Pure."""
