import { expect, test } from 'vitest'
import { type DemoFindings, judgeDemo } from '../../../src/cli/demo/demo-verdict.ts'

const TRUTH = {
  records: 90,
  hash: 'a',
  bytes: 300,
  delaySum: 0,
  distanceMax: 0,
  departures: new Map(),
  months: new Map(),
}
const TIER = { records: 30, bytes: 10 }

const GOOD: DemoFindings = {
  records: 100,
  source: 'generated',
  archive: 'file:///a',
  tiers: { memory: TIER, disk: TIER, object: TIER },
  queries: [
    {
      sql: 'SELECT 1',
      elapsedMs: 1,
      recordsByTier: { memory: 1, disk: 1, object: 1 },
      isRight: true,
    },
  ],
  acknowledged: 85,
  recovery: { elapsedMs: 1, found: { records: 90, hash: 'a' }, truth: TRUTH },
  archiving: { failed: 0, bytes: 100 },
  restore: {
    elapsedMs: 1,
    found: { records: 100, hash: 'b' },
    truth: { ...TRUTH, records: 100, hash: 'b' },
  },
  requests: 5,
  elapsedMs: 9,
}

test('all as it should be is a PASS', () => {
  expect(judgeDemo(GOOD)).toMatchObject({
    verdict: 'PASS',
    reasons: [],
    recovery: { acknowledged: 85, lost: 0, hashEqual: true },
    restore: { records: 100, hashEqual: true },
    compression: 3,
  })
})

test.each<[string, Partial<DemoFindings>]>([
  [
    'no record was in disk',
    { tiers: { memory: TIER, disk: { records: 0, bytes: 0 }, object: TIER } },
  ],
  [
    'wrong answer: SELECT 1',
    { queries: GOOD.queries.map((query) => ({ ...query, isRight: false })) },
  ],
  ['3 acknowledged records were lost', { acknowledged: 93 }],
  [
    'the recovered records are not',
    { recovery: { ...GOOD.recovery, found: { records: 90, hash: 'x' } } },
  ],
  ['1 partitions could not be archived', { archiving: { failed: 1, bytes: 100 } }],
  [
    '99 records were restored of 100',
    { restore: { ...GOOD.restore, found: { records: 99, hash: 'b' } } },
  ],
  [
    'the restored records are not',
    { restore: { ...GOOD.restore, found: { records: 100, hash: 'x' } } },
  ],
])('a FAIL says why: %s', (reason, change) => {
  const report = judgeDemo({ ...GOOD, ...change })
  expect(report.verdict).toBe('FAIL')
  expect(report.reasons.join('\n')).toContain(reason)
})
