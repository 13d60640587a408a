-- Distributes the tables of the service over the nodes of a Citus cluster. See docs/postgresql.md.
-- Run it on the coordinator, as the owner of the tables, after the first start of the service:
--   psql --set ON_ERROR_STOP=1 --file citus.sql postgresql://barring@coordinator.example/barring
SELECT create_distributed_table('authorization_codes', 'tenant_id');
SELECT create_distributed_table('lockouts', 'tenant_id', colocate_with => 'authorization_codes');
SELECT create_distributed_table('barring_tenant_marks', 'tenant_id', colocate_with => 'authorization_codes');
-- A reference table is on every node, so that a service can use any of them.
SELECT create_reference_table('barring_migrations');
-- The rows that the tables had on the coordinator were copied to the nodes. Remove them from the coordinator.
SELECT truncate_local_data_after_distributing_table('authorization_codes');
SELECT truncate_local_data_after_distributing_table('lockouts');
SELECT truncate_local_data_after_distributing_table('barring_tenant_marks');
