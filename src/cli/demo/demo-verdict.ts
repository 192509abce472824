/** From what the demo found to its report and verdict. Pure. */
import type { DemoReport, QueryReport } from './demo-report.ts'
import type { FlightSource } from './flights.ts'
import type { Truth } from './oracle.ts'
import type { TierFacts } from './protocol.ts'

/** Records read back, and the hash of what is in them. */
export interface ReadBack {
  readonly records: number
  readonly hash: string
}

export interface DemoFindings {
  readonly records: number
  readonly source: FlightSource['kind']
  readonly archive: string
  readonly tiers: TierFacts
  readonly queries: readonly QueryReport[]
  /** Records that the killed process acknowledged. */
  readonly acknowledged: number
  readonly recovery: { readonly elapsedMs: number; readonly found: ReadBack; readonly truth: Truth }
  readonly archiving: { readonly failed: number; readonly bytes: number }
  readonly restore: { readonly elapsedMs: number; readonly found: ReadBack; readonly truth: Truth }
  readonly requests: number
  readonly elapsedMs: number
}

export function judgeDemo(findings: DemoFindings): DemoReport {
  const { recovery, restore, acknowledged } = findings
  const { records, source, archive, tiers, queries, requests, elapsedMs } = findings
  const reasons = reasonsOf(findings)
  return {
    records,
    source,
    archive,
    tiers,
    queries,
    recovery: {
      acknowledged,
      lost: lostRecords(findings),
      elapsedMs: recovery.elapsedMs,
      hashEqual: isEqual(recovery),
    },
    restore: {
      records: restore.found.records,
      elapsedMs: restore.elapsedMs,
      hashEqual: isEqual(restore),
    },
    hash: restore.found.hash,
    compression: rounded(restore.truth.bytes / Math.max(1, findings.archiving.bytes)),
    requests,
    verdict: reasons.length === 0 ? 'PASS' : 'FAIL',
    reasons,
    elapsedMs,
  }
}

function reasonsOf(findings: DemoFindings): readonly string[] {
  const { records, tiers, queries, recovery, archiving, restore } = findings
  const reasons: string[] = []
  const expectThat = (isSo: boolean, otherwise: string): void => {
    if (!isSo) reasons.push(otherwise)
  }
  for (const tier of ['memory', 'disk', 'object'] as const) {
    expectThat(tiers[tier].records > 0, `no record was in ${tier} when the questions were asked`)
  }
  for (const query of queries) expectThat(query.isRight, `wrong answer: ${query.sql}`)
  const lost = lostRecords(findings)
  expectThat(lost === 0, `${lost} acknowledged records were lost`)
  expectThat(isEqual(recovery), 'the recovered records are not those of the source')
  expectThat(archiving.failed === 0, `${archiving.failed} partitions could not be archived`)
  const restored = restore.found.records
  expectThat(restored === records, `${restored} records were restored of ${records}`)
  expectThat(isEqual(restore), 'the restored records are not those of the source')
  return reasons
}

function lostRecords({ acknowledged, recovery }: DemoFindings): number {
  return Math.max(0, acknowledged - recovery.found.records)
}

function isEqual({ found, truth }: DemoFindings['restore']): boolean {
  return found.records === truth.records && found.hash === truth.hash
}

function rounded(ratio: number): number {
  return Math.round(ratio * 100) / 100
}
