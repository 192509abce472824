/**
 * The examples of README and docs run as they stand: each fenced block that opens with three backticks and `ts run`.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, test } from 'vitest'
import { runnableExamples } from './support/docs-text.ts'
import { filesBelow, readText, repositoryRoot } from './support/repository.ts'

const pages = [{ path: 'README.md', text: readText('README.md') }, ...filesBelow('docs', '.md')]
const examples = pages.flatMap((page) => runnableExamples(page))
const entrance = pathToFileURL(join(repositoryRoot, 'src/index.ts')).href

describe('the examples of the documentation run', () => {
  test.each(examples)('$path, line $line', ({ code }) => {
    const folder = mkdtempSync(join(tmpdir(), 'stratalog-docs-'))
    try {
      writeFileSync(
        join(folder, 'example.ts'),
        code.replaceAll("from 'stratalog'", `from '${entrance}'`),
      )
      const options = { cwd: folder, encoding: 'utf8', stdio: 'pipe' } as const
      expect(execFileSync(process.execPath, ['example.ts'], options)).not.toContain('Error')
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  test('README and the page on errors have one', () => {
    const withExample = new Set(examples.map(({ path }) => path))
    expect([...withExample]).toEqual(expect.arrayContaining(['README.md', 'docs/errors.md']))
  })
})
