/** The policy of a log in an edit, with every key that has an effect. */
import type { JsonFields } from './json-fields.ts'
import { PRIORITY_MAX, PRIORITY_MIN } from './limits.ts'
import type { StoragePolicy } from './manifest.ts'

const ACK_LEVELS = ['memory', 'disk', 'object'] as const
const EVICTION_POLICIES = ['fifo', 'lru', 'ttl', 'priority', 'reject'] as const

/** Keys that few logs have are left out where they have no effect. */
export function storagePolicyJson(policy: StoragePolicy): unknown {
  return {
    mode: policy.mode,
    memoryTtl: policy.memoryTtl,
    diskAfter: policy.diskAfter,
    archiveAfter: policy.archiveAfter,
    diskTtl: policy.diskTtl,
    localDisk: policy.localDisk,
    retention: policy.retention,
    ack: policy.ack,
    wal: policy.wal,
    memoryFirst: policy.memoryFirst,
    diskFallback: policy.diskFallback,
    evictionPolicy: policy.evictionPolicy,
    evictionWatermark: policy.evictionWatermark,
    segmentFormat: policy.segmentFormat,
    keep: policy.keep,
    ...(policy.parquetAfter === null ? {} : { parquetAfter: policy.parquetAfter }),
    ...(policy.retentionBytes === null ? {} : { retentionBytes: policy.retentionBytes }),
    ...(policy.ttl === null ? {} : { ttl: policy.ttl }),
    ...(policy.priority === 0 ? {} : { priority: policy.priority }),
    ...(policy.maxMemoryBytes === null ? {} : { maxMemoryBytes: policy.maxMemoryBytes }),
  }
}

export function storagePolicyOf(fields: JsonFields): StoragePolicy {
  const policy: StoragePolicy = {
    mode: fields.oneOf('mode', ['memory', 'persistent', 'hybrid']),
    memoryTtl: fields.integer('memoryTtl'),
    diskAfter: fields.integer('diskAfter'),
    archiveAfter: fields.integerOrNull('archiveAfter'),
    diskTtl: fields.integerOrNull('diskTtl'),
    localDisk: fields.boolean('localDisk'),
    retention: fields.integerOrNull('retention'),
    retentionBytes: fields.has('retentionBytes') ? fields.integerOrNull('retentionBytes', 1) : null,
    ack: fields.oneOf('ack', ACK_LEVELS),
    wal: fields.boolean('wal'),
    memoryFirst: fields.boolean('memoryFirst'),
    diskFallback: fields.boolean('diskFallback'),
    evictionPolicy: fields.oneOf('evictionPolicy', EVICTION_POLICIES),
    evictionWatermark: fields.number('evictionWatermark'),
    segmentFormat: fields.oneOf('segmentFormat', ['arrow', 'parquet']),
    parquetAfter: fields.has('parquetAfter') ? fields.integerOrNull('parquetAfter') : null,
    keep: fields.oneOf('keep', ['all', 'latest']),
    ttl: fields.has('ttl') ? fields.integerOrNull('ttl', 1) : null,
    priority: fields.has('priority') ? fields.integer('priority', PRIORITY_MIN) : 0,
    maxMemoryBytes: fields.has('maxMemoryBytes') ? fields.integerOrNull('maxMemoryBytes', 1) : null,
  }
  if (policy.priority > PRIORITY_MAX) fields.fail('priority', `is above ${PRIORITY_MAX}`)
  fields.end()
  return policy
}
