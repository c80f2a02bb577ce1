-- The partition whose record is the reason of a hold; -1 where no record is, or nobody said.
ALTER TABLE holdtrue.holds ADD COLUMN held_by integer NOT NULL DEFAULT -1;
