/** The three stories of docs/replay.md run as they stand, and end as they say. */
import { expect, test } from 'vitest'
import { runShellExamples, shellExamples } from '../support/shell-examples.ts'

test(
  'a lost machine, a bad deploy and a nightly drill end well',
  { timeout: 600_000 },
  async () => {
    const stdout = await runShellExamples(shellExamples('docs/replay.md'))
    // The machine lost: all six orders are back. The bad deploy: before it there were seven, of 610 in all.
    for (const part of ['"rows":[[6,550]]', '"rows":[[8,-389]]', '"rows":[[7,610]]', 'PASS'])
      expect(stdout).toContain(part)
    expect(stdout.match(/"rows":\[\[7,610\]\]/g)).toHaveLength(3)
  },
)
