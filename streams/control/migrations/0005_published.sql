-- Which of the plan's tables are published whole, with their oid; and which a break is of that is not told yet (all: NULL).
ALTER TABLE holdtrue.source ADD COLUMN published jsonb NOT NULL DEFAULT '{}', ADD COLUMN tables text[];
