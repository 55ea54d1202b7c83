"""A connection to a server that is not there, refused in libmariadb's own words."""

from __future__ import annotations

import MySQLdb
from mapped import assert_grafted

try:
    MySQLdb.connect(unix_socket="/nowhere/mysqld.sock", user="deloc8")
except MySQLdb.OperationalError as error:
    number, message = error.args
    assert number == 2002, error
    assert "/nowhere/mysqld.sock" in message, error
else:
    raise AssertionError("connected to nowhere")
assert_grafted("mysqlclient.libs", "libmariadb")
print("worked")
