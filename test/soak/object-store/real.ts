/**
 * The moves on this machine, with a thread for the WAL and one for segments, and the archive on MinIO behind a proxy
 * that does one toxic at one call of one operation of S3. One segment is so big that it is put in parts.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../../src/base/clock.ts'
import { silentLogger } from '../../../src/base/logger.ts'
import { noMetrics } from '../../../src/base/metrics.ts'
import { randomHex, systemRandom } from '../../../src/base/random.ts'
import type { EnginePorts } from '../../../src/engine/ports.ts'
import { storageOf } from '../../../src/engine/system-storage.ts'
import { NodeFileSystem } from '../../../src/storage/node-file-system.ts'
import { createBucketIfMissing, openObjectStore } from '../../../src/storage/open-object-store.ts'
import type { MinioSettings } from '../../support/minio.ts'
import type { StoreOperation, ToxicProxy } from '../../support/toxic-proxy.ts'
import { Moves, type Stage } from './moves.ts'
import type { PlannedToxic } from './toxics.ts'

/** S3 takes no smaller parts. */
const PART_BYTES = 5 * 1024 ** 2
const BIG_BYTES = 6 * 1024 ** 2
/** What drips or says nothing costs little time. */
const S3_LIMITS = {
  connectMs: 2_000,
  responseMs: 5_000,
  bodyWindowMs: 1_000,
  putBytesMax: PART_BYTES,
  partBytes: PART_BYTES,
}
const RETRY_POLICY = { triesMax: 4, delayMinMs: 5, delayMaxMs: 50 }
const CIRCUIT_POLICY = { failuresMax: 10, pauseMinMs: 20, pauseMaxMs: 200 }
const AGES_MS = 800

export interface RealRun {
  readonly acknowledged: number
  readonly calls: ReadonlyMap<StoreOperation, number>
  readonly wasPoisoned: boolean
}

/** @throws BrokenPromise; its directory and its bucket stay for a look. */
export async function runForReal(
  minio: MinioSettings,
  proxy: ToxicProxy,
  planned: PlannedToxic | null,
): Promise<RealRun> {
  const root = await mkdtemp(join(tmpdir(), 'stratalog-object-store-'))
  const archive = `s3://sweep-${randomHex(systemRandom, 6)}/place`
  const past = stageOf(root, archive, minio, minio.endpoint)
  await createBucketIfMissing(archive, {
    ...(past.s3 === undefined ? {} : { s3: past.s3 }),
    fileSystem: new NodeFileSystem(),
    clock: systemClock,
    random: systemRandom,
    metrics: noMetrics,
    logger: silentLogger,
  })
  const calls = new Map<StoreOperation, number>()
  let wasPoisoned = false
  proxy.script = ({ operation }) => {
    const index = calls.get(operation) ?? 0
    calls.set(operation, index + 1)
    // Parts are given up when something else has failed.
    if (planned?.operation === 'abort' && operation === 'end' && index <= planned.index)
      return { kind: 'status', status: 500, code: 'InternalError' }
    if (planned?.operation !== operation || planned.index !== index) return null
    wasPoisoned = true
    return planned.toxic
  }
  const moves = new Moves()
  await moves.goOn(stageOf(root, archive, minio, proxy.endpoint))
  proxy.script = () => null
  await proxy.settle()
  await moves.check(past)
  await rm(root, { recursive: true, force: true })
  return { acknowledged: moves.acknowledged, calls, wasPoisoned }
}

function stageOf(root: string, archive: string, minio: MinioSettings, endpoint: string): Stage {
  const { region, accessKeyId, secretAccessKey } = minio
  const storage = storageOf({ storage: null })
  const { fileSystem } = storage
  const ports: Partial<EnginePorts> = {
    logger: silentLogger,
    storage: {
      ...storage,
      openObjectStore: (url, given) =>
        openObjectStore(url, {
          ...given,
          fileSystem,
          retryPolicy: RETRY_POLICY,
          circuitPolicy: CIRCUIT_POLICY,
          s3Limits: S3_LIMITS,
        }),
    },
  }
  return {
    dataDir: `${root}/data`,
    archive,
    s3: { endpoint, region, credentials: { accessKeyId, secretAccessKey } },
    restoredDir: (number) => `${root}/restored-${number}-${new URL(endpoint).port}`,
    isReal: true,
    clock: systemClock,
    ports,
    agesMs: AGES_MS,
    rounds: 3,
    bigBytes: BIG_BYTES,
    openBare: null,
  }
}
