/** Places that hold state: objects (files or S3), records (Postgres) and keys. */
export type { Objects, ObjectInfo, ObjectsCapabilities, StagedObject } from './objects/port.ts'
export { openFolderObjects } from './objects/folder.ts'
export { openS3Objects, type S3Options } from './objects/s3/objects.ts'
export { compareUtf8 } from './objects/paths.ts'
export { isKnownDead, THIS_PROCESS } from './objects/temporary.ts'

export type { Keys, KeyEntry, KeyWrite, KeysCapabilities } from './keys/port.ts'
export { keysMigrations, openPostgresKeys, type PostgresKeys } from './keys/postgres.ts'
export { openRedisKeys, type RedisKeysOptions } from './keys/redis.ts'

export type { Migration, Queryable, Records, RecordsSession, SqlValue } from './records/port.ts'
export { openRecords, type PostgresConnection, type RecordsOptions } from './records/postgres.ts'
export { constraintOf, sqlState } from './records/faults.ts'
export { migrate } from './records/migrate.ts'
export type { Duties, NodeView, Offer } from './records/duties/port.ts'
export { dutyMigrations, openLeasedDuties, type LeasedDutiesOptions } from './records/duties/leased.ts'
export { soleDuties } from './records/duties/sole.ts'
export { startEmbeddedPostgres, type EmbeddedConnection, type EmbeddedPostgres, type EmbeddedPostgresOptions } from './records/embedded/start.ts'
export { claimHome, homeHolder, type Holder, type HomeClaim } from './records/embedded/claim.ts'

export { openLasting, type Lasting, type LastingOptions } from './lasting.ts'
export { authorities, isNotTls, isUntrusted } from './tls.ts'
