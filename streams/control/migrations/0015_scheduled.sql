-- Since when the plan wants runs of a kind: one that was never made is due a period after that, however often control
-- begins anew.
CREATE TABLE holdtrue.scheduled (
    replica text NOT NULL,
    table_name text NOT NULL,
    depth text NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (replica, table_name, depth)
);
