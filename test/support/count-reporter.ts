/**
 * Ends a run with one line that scripts read: `12 passed, 0 failed`. A file that failed to load and an error that no
 * test caught count as failures, and a skipped test is named, so that nothing is lost silently.
 */
import type { Reporter, SerializedError, TestModule } from 'vitest/node'

export class CountReporter implements Reporter {
  onTestRunEnd(
    modules: ReadonlyArray<TestModule>,
    unhandledErrors: ReadonlyArray<SerializedError>,
  ): void {
    let passed = 0
    let failed = unhandledErrors.length
    for (const module of modules) {
      failed += module.errors().length
      for (const test of module.children.allTests()) {
        const state = test.result().state
        if (state === 'passed') passed++
        else if (state === 'failed') failed++
        else process.stdout.write(`skipped: ${module.relativeModuleId} > ${test.fullName}\n`)
      }
    }
    // The default reporter writes its summary in the same turn; this line goes after it.
    process.once('exit', () => process.stdout.write(`${passed} passed, ${failed} failed\n`))
  }
}

// Vitest loads a reporter by its default export.
export default CountReporter
