"""The domain of libvirt's own test driver."""

from __future__ import annotations

import libvirt
from mapped import assert_grafted

connection = libvirt.open("test:///default")
assert connection.listDomainsID() == [1]
assert "test" in connection.lookupByID(1).XMLDesc()
assert_grafted("libvirt_python.libs", "libvirt-", "libgio")
print("worked")
