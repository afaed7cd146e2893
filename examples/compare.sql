-- Holds a lake against what the simulated API held, row for row: truth.jsonl is the answer of its /sim/truth.
WITH lake AS (
  SELECT date, hour, msgid,
         [target_type, msg_type, from_id, target_id, text, epoch_ms(time)::VARCHAR, event->>'$.msg_body'] AS row
  FROM read_parquet('lake/*/*/*/*.parquet', hive_partitioning = true)
), truth AS (
  SELECT (json->>'$.msgid')::BIGINT AS msgid,
         [r->>'$.target_type', r->>'$.msg_type', r->>'$.from_id', r->>'$.target_id',
          CASE r->>'$.msg_type' WHEN 'text' THEN r->>'$.msg_body.text' END, r->>'$.msg_ctime', r->>'$.msg_body'] AS row
  FROM (SELECT json, json->'$.row' AS r FROM read_json_objects('truth.jsonl', format = 'newline_delimited'))
)
SELECT date, hour, count(lake.msgid) AS lake, count(truth.msgid) AS api,
       count(*) FILTER (lake.row IS DISTINCT FROM truth.row) AS different
FROM lake FULL JOIN truth USING (msgid)
GROUP BY ALL
ORDER BY ALL;
