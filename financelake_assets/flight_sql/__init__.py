"""SQL for BI tools: a server of Arrow Flight SQL, which JDBC, ODBC and ADBC drivers speak, behind the lake's login."""
