/**
 * `demo`: records through RAM, disk and archive, three questions over all tiers, a kill in the middle of a write, a
 * recovery, and a restore from the archive alone that is proved equal to the source by an oracle.
 */
import { formatCount } from '../../base/units.ts'
import type { S3Options } from '../../engine/config.ts'
import { EXIT_VERDICT_FAIL } from '../exit-status.ts'
import { type Session, note, writeDocument } from '../session.ts'
import { type DemoPlace, makeDemoPlace } from './demo-place.ts'
import { type DemoOutcome, DemoRun } from './demo-run.ts'
import { demoSummary } from './demo-report.ts'
import { FLIGHTS_FILE_RECORDS, findFlights } from './flights.ts'

export interface DemoFlags {
  readonly records?: number
  readonly archive?: string
  readonly keep?: string
  readonly s3Endpoint?: string
  readonly s3Region?: string
  readonly s3PathStyle?: true
}

export async function runDemo(
  session: Session,
  flags: DemoFlags,
  setStatus: (status: number) => void,
): Promise<void> {
  const records = flags.records ?? FLIGHTS_FILE_RECORDS
  const source = findFlights(records)
  if (source.kind === 'generated') {
    note(
      session,
      `The flights of vega-datasets are not there (or fewer than asked for): a generated set, seed ${source.seed}.`,
    )
  }
  const place = await makeDemoPlace({
    archive: flags.archive ?? null,
    keep: flags.keep ?? null,
    s3: s3Options(flags),
    clock: session.clock,
  })
  const outcome = await runAndRemove(session, place, new DemoRun(session, place, source, records))
  if (outcome.report.verdict === 'FAIL') setStatus(EXIT_VERDICT_FAIL)
  if (session.json) {
    await writeDocument(session, outcome.report)
    return
  }
  await session.terminal.write(demoSummary(outcome.report, outcome.times, session.terminal))
  if (place.isKept) {
    note(
      session,
      `Kept ${formatCount(records)} records: try  stratalog sql --data-dir ${place.dataDir} 'SELECT count(*) FROM flights'`,
    )
  }
}

/** Nothing of the demo is left, whether it ends, fails or is interrupted. */
async function runAndRemove(
  session: Session,
  place: DemoPlace,
  run: DemoRun,
): Promise<DemoOutcome> {
  const stop = (): void => {
    run.stop().catch(() => {})
  }
  session.signal.addEventListener('abort', stop, { once: true })
  try {
    return await run.run()
  } catch (error) {
    session.signal.throwIfAborted()
    throw error
  } finally {
    session.signal.removeEventListener('abort', stop)
    await run.stop()
    await place.remove()
  }
}

function s3Options({ s3Endpoint, s3Region, s3PathStyle }: DemoFlags): S3Options | null {
  if (s3Endpoint === undefined && s3Region === undefined && s3PathStyle === undefined) return null
  return {
    ...(s3Endpoint === undefined ? {} : { endpoint: s3Endpoint }),
    ...(s3Region === undefined ? {} : { region: s3Region }),
    ...(s3PathStyle === undefined ? {} : { forcePathStyle: s3PathStyle }),
  }
}
