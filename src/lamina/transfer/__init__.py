"""Any source to any sink: archives in and out, root file systems in and out."""
