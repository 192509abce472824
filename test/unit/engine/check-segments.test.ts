/** What of a state is a gap, and what a log was allowed to leave out. */
import { expect, test } from 'vitest'
import { checkContinuity } from '../../../src/engine/verify/check-segments.ts'
import { Findings } from '../../../src/engine/verify/verify-report.ts'
import { applyEdits, emptyManifestState } from '../../../src/format/manifest-builder.ts'
import { logDefinition, segmentEntry } from '../../support/manifests.ts'

test('offsets that a log without a WAL left out are no gap, and those behind are', () => {
  const segments = [
    [0, 5],
    [10, 15],
    [20, 25],
    [30, 35],
  ] as const
  const state = applyEdits(emptyManifestState(), [
    { kind: 'engine-created', engineId: '0'.repeat(32) },
    { kind: 'log-created', log: logDefinition(1), startOffsets: [0] },
    { kind: 'schema-added', logId: 1, schema: { id: 0, fields: [] } },
    ...segments.map(([from, to]) => ({
      kind: 'segment-added' as const,
      logId: 1,
      partition: 0,
      segment: segmentEntry(from, to, { statistics: [] }),
    })),
    { kind: 'offsets-dense-from', logId: 1, partition: 0, offset: 22 },
  ])
  const findings = new Findings()
  checkContinuity(state, 'manifest', findings)
  expect(findings.problems).toMatchObject([{ kind: 'gap', from: 25, to: 30 }])
})
