"""A connection to a server that is not there, refused in libpq's own words."""

from __future__ import annotations

import psycopg2
from mapped import assert_grafted

try:
    psycopg2.connect(host="/nowhere", dbname="deloc8", user="deloc8")
except psycopg2.OperationalError as error:
    assert "/nowhere/.s.PGSQL.5432" in str(error), error
else:
    raise AssertionError("connected to nowhere")
# Python itself may have loaded the system's libssl; libldap and libpq come with the wheel alone.
assert_grafted("psycopg2.libs", "libpq", "libldap")
print("worked")
