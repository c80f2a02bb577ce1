-- An index entry holds 2,704 bytes; the source compresses its keys in there, and these bytes are not its texts.
ALTER TABLE holdtrue.repair_items DROP CONSTRAINT repair_items_pkey;
CREATE UNIQUE INDEX repair_items_by_key ON holdtrue.repair_items (repair, drift, sha256(key_bytes));
