"""A document transformed by XSLT."""

from __future__ import annotations

from lxml import etree
from mapped import assert_grafted

stylesheet = """
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
  <xsl:template match="/wheels"><repaired><xsl:apply-templates select="wheel"/></repaired></xsl:template>
  <xsl:template match="wheel"><w n="{@name}"/></xsl:template>
</xsl:stylesheet>
"""
transform = etree.XSLT(etree.XML(stylesheet))
result = transform(etree.XML('<wheels><wheel name="a"/><wheel name="b"/></wheels>'))
assert etree.tostring(result) == b'<repaired><w n="a"/><w n="b"/></repaired>'
# A character set that libxml2 leaves to ICU or iconv.
assert etree.fromstring('<?xml version="1.0" encoding="EUC-JP"?><a>日本</a>'.encode("euc-jp")).text == "日本"
assert_grafted("lxml.libs", "libxml2", "libxslt", "libicudata")
print("worked")
