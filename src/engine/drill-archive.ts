import { StratalogError } from '../base/errors.ts'
import type { LogView } from '../log/log-view.ts'
import { type Archive, openArchive } from '../log/archive-view.ts'
import { randomHex } from '../base/random.ts'
import { type DrillEngine, type DrillScratch, drill } from '../replay/drill.ts'
import type { DrillReport } from '../replay/drill-report.ts'
import { type LiveEngine, liveSide } from '../replay/live-side.ts'
import type { ReplayProgress } from '../replay/replay.ts'
import type { QueryIsolation } from '../query/query-runner.ts'
import { plannedRecords, planRestore } from '../snapshot/plan-restore.ts'
import { samplePlan } from '../snapshot/sample-plan.ts'
import { restore } from '../snapshot/restore.ts'
import { PATIENT, openArchiveStore } from './archive-store.ts'
import {
  FUNCTION,
  LOOKED_AT_LATER,
  OBJECT,
  type OptionKind,
  SIGNAL,
  TEXT,
  assertOptions,
  assertText,
  oneOf,
} from './check-arguments.ts'
import type { S3Options } from './config.ts'
import type { Engine } from './engine.ts'
import { openEngine } from './open-engine.ts'
import { type EnginePorts, resolvePorts } from './ports.ts'
import { storageOf } from './system-storage.ts'

/** A query of the user's and the rows it must give: an array of arrays, as `sql --json` prints them. */
export interface DrillCheckOptions {
  readonly sql: string
  readonly expected: unknown
}

export interface DrillArchiveOptions {
  /** `s3://bucket/prefix` or `file:///path`. */
  readonly archive: string
  readonly s3?: S3Options
  /**
   * The data directory of the engine that writes the archive, which may be running, or what it is at this point. Left
   * out, RPO is not measured.
   */
  readonly against?: string | LiveEngine
  readonly checks?: readonly DrillCheckOptions[]
  /** Where the SQL of checks runs, as of the configuration's key. Default `thread`. */
  readonly queryIsolation?: QueryIsolation
  /** The part of the archive to restore, above 0 and at most 1: runs of segments at random. Default 1, all of it. */
  readonly sample?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: ReplayProgress) => void
}

const KINDS: Readonly<Record<keyof DrillArchiveOptions, OptionKind>> = {
  ...{ archive: TEXT, s3: OBJECT, queryIsolation: oneOf('thread', 'process') },
  against: {
    expected: 'a data directory, or a live engine at one point',
    fits: (value) => TEXT.fits(value) || OBJECT.fits(value),
  },
  checks: { expected: 'an array of { sql, expected }', fits: (value) => Array.isArray(value) },
  sample: LOOKED_AT_LATER,
  ...{ signal: SIGNAL, onProgress: FUNCTION },
}

const CHECK_KINDS: Readonly<Record<keyof DrillCheckOptions, OptionKind>> = {
  sql: TEXT,
  expected: LOOKED_AT_LATER,
}

/** @throws StratalogError `argument_invalid`. */
function assertDrillOptions(options: DrillArchiveOptions): void {
  assertOptions(options, KINDS, 'drillArchive')
  for (const check of options.checks ?? []) {
    assertOptions(check, CHECK_KINDS, 'a check')
    assertText(check.sql, 'sql of a check')
    if (check.expected === undefined)
      throw new StratalogError('argument_invalid', 'A check has expected rows.')
  }
}

/** Rows of a check's answer, all of which are in the report. */
const CHECK_ROWS_MAX = 100_000

/** See `drillArchive` of `archive-operations.ts`. */
export async function runDrill(
  options: DrillArchiveOptions,
  given: Partial<EnginePorts>,
): Promise<DrillReport> {
  assertDrillOptions(options)
  const ports = resolvePorts({}, given)
  const { against, checks, sample = 1, queryIsolation = 'thread', signal, onProgress } = options
  const live =
    typeof against === 'string' ? await openEngine({ dataDir: against }, given, 'read') : null
  const views = live === null ? [] : [...live.registry.all()].map((log) => log.view())
  const pinned = live && { engineId: live.engineId, logs: views.map(liveSide) }
  const store = await openArchiveStore(options.archive, options.s3, ports, PATIENT)
  try {
    return await drill(
      {
        open: () => openArchive(store, { logger: ports.logger }),
        scratch: () => openScratch(ports, sample, queryIsolation),
        against: pinned ?? (typeof against === 'string' ? null : (against ?? null)),
        ...(checks === undefined ? {} : { checks }),
      },
      { signal, onProgress },
      ports,
    )
  } finally {
    await store.close()
    for (const view of views) view.release()
    await live?.close()
  }
}

/** A directory of its own, outside every data directory, that goes away with the drill. */
async function openScratch(
  ports: EnginePorts,
  sample: number,
  queryIsolation: QueryIsolation,
): Promise<DrillScratch> {
  const { fileSystem, processName, temporaryDirectory } = storageOf(ports)
  const path = await temporaryDirectory()
  const dataDir = `${path}/data`
  const { clock, random, logger } = ports
  return {
    restore: async (archive: Archive, signal?: AbortSignal) => {
      const writer = {
        id: randomHex(random, 16),
        ...processName,
        since: clock.now(),
      }
      const newEngineId = randomHex(random, 16)
      const target = { fileSystem, dataDir, clock, logger, writer, newEngineId, isDetached: true }
      const plan = samplePlan(await planRestore(archive, { signal }), sample, random)
      return { ...(await restore(plan, target, { signal })), planned: plannedRecords(plan) }
    },
    open: async () => drillEngine(await openEngine({ dataDir, queryIsolation }, ports, 'read')),
    remove: () => fileSystem.removeDirectory(path),
  }
}

function drillEngine(engine: Engine): DrillEngine {
  return {
    views: (names?: readonly string[]): readonly LogView[] => {
      const logs =
        names === undefined
          ? [...engine.registry.all()]
          : names.map((name) => engine.registry.get(name))
      return logs.map((log) => log.view())
    },
    query: async (sql, signal) => {
      const limits = { maxRows: CHECK_ROWS_MAX }
      const result = await engine.queries.query(
        sql,
        [],
        signal === undefined ? limits : { ...limits, signal },
      )
      return (await result.toJson()).rows
    },
    close: () => engine.close(),
  }
}
