/** Style that matters is executable: the repository keeps the rules of its design, and each rule can fail. */
import { describe, expect, test } from 'vitest'
import { ERROR_CODES } from '../src/base/errors.ts'
import { PACKAGE_VERSION } from '../src/engine/version.ts'
import { brokenLinks, errorTableRows, indexedPages } from './support/docs-text.ts'
import {
  cycleFindings,
  directionFindings,
  oneFileFindings,
  packageFindings,
} from './support/import-rules.ts'
import { filesBelow, readText, repositoryRoot } from './support/repository.ts'
import { codeOnly, importsOf, type SourceFile } from './support/source-text.ts'
import {
  ambientFindings,
  nameFindings,
  promiseFindings,
  sizeFindings,
  testFindings,
} from './support/text-rules.ts'

const source = filesBelow('src', '.ts')
const every = [...source, ...filesBelow('test', '.ts'), ...filesBelow('bench', '.ts')]
const pages = filesBelow('docs', '.md')

describe('the repository', () => {
  test('imports point the way of the design', () => {
    expect(directionFindings(source)).toEqual([])
  })

  test('has no import cycles', () => {
    expect(cycleFindings(every)).toEqual([])
  })

  test('lets each third-party package in at one place', () => {
    expect([...source.flatMap(packageFindings), ...oneFileFindings(source)]).toEqual([])
  })

  test('takes time, randomness, environment and terminal through ports', () => {
    expect(source.flatMap(ambientFindings)).toEqual([])
  })

  test('keeps files short and lines narrow', () => {
    expect(every.flatMap(sizeFindings)).toEqual([])
  })

  test('names things for what they do', () => {
    expect(every.flatMap(nameFindings)).toEqual([])
  })

  test('leaves no open promises in the code', () => {
    expect(every.flatMap(promiseFindings)).toEqual([])
  })

  test('runs every test that it has', () => {
    expect(every.flatMap(testFindings)).toEqual([])
  })

  test('says of itself the version that package.json has', () => {
    expect(JSON.parse(readText('package.json'))).toMatchObject({ version: PACKAGE_VERSION })
  })

  test('describes every error code in docs/errors.md, with its kind', () => {
    expect(errorTableRows(readText('docs/errors.md'))).toEqual(
      Object.entries(ERROR_CODES).map(([code, kind]) => ({ code, kind })),
    )
  })

  test('lists every page of docs in docs/README.md', () => {
    const listed = indexedPages(readText('docs/README.md')).toSorted()
    const present = pages.map((page) => page.path.slice('docs/'.length))
    expect(listed).toEqual(present.filter((path) => path !== 'README.md').toSorted())
  })

  test('has no broken links between its pages', () => {
    const top = ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'docker/README.md']
    const documents = [...pages, ...top.map((path) => ({ path, text: readText(path) }))]
    expect(documents.flatMap((page) => brokenLinks(page, repositoryRoot))).toEqual([])
  })
})

describe('each rule', () => {
  const file = (path: string, ...lines: string[]): SourceFile => ({ path, text: lines.join('\n') })

  test('refuses an import upwards, also of a type and of a worker file', () => {
    const planted = [
      file('src/log/a.ts', "import { x } from '../engine/b.ts'"),
      file('src/base/a.ts', "import type { X } from '../format/b.ts'"),
      file('src/query/a.ts', "const url = new URL('../engine/workers/q.ts', import.meta.url)"),
      file('src/format/a.ts', "type T = import('../log/b.ts').T"),
    ]
    expect(directionFindings(planted)).toEqual([
      expect.stringContaining('src/log/a.ts:1: log may not import engine'),
      expect.stringContaining('src/base/a.ts:1: base may not import format'),
      expect.stringContaining('src/query/a.ts:1: query may not import engine'),
      expect.stringContaining('src/format/a.ts:1: format may not import log'),
    ])
  })

  test('refuses an import of a neighbour on the same level', () => {
    const planted = [
      file('src/format/a.ts', "export { x } from '../storage/b.ts'"),
      file('src/replay/a.ts', '', "import '../query/b.ts'"),
    ]
    expect(directionFindings(planted)).toEqual([
      expect.stringContaining('src/format/a.ts:1: format may not import storage'),
      expect.stringContaining('src/replay/a.ts:2: replay may not import query'),
    ])
  })

  test('refuses a folder that the design does not know, and imports from outside src', () => {
    expect(directionFindings([file('src/common/a.ts', '')])).toEqual([
      expect.stringContaining('src/common is not a folder of the design'),
    ])
    expect(directionFindings([file('src/base/a.ts', "import '../../test/b.ts'")])).toEqual([
      expect.stringContaining('not shipped'),
    ])
  })

  test('lets imports go down, and the command line reach the server', () => {
    const planted = [
      file('src/cli/a.ts', "import { x } from '../server/b.ts'"),
      file('src/log/a.ts', "import { x } from '../format/b.ts'", "import { y } from './b.ts'"),
    ]
    expect(directionFindings(planted)).toEqual([])
  })

  test('refuses an import cycle and names its way', () => {
    const planted = [
      file('src/log/a.ts', "import './b.ts'"),
      file('src/log/b.ts', "import type { C } from './c.ts'"),
      file('src/log/c.ts', "import './a.ts'"),
    ]
    expect(cycleFindings(planted)).toEqual([
      'import cycle: src/log/a.ts -> src/log/b.ts -> src/log/c.ts -> src/log/a.ts',
    ])
  })

  test('refuses a package in the wrong folder', () => {
    const text = [
      "import { Table } from 'apache-arrow'",
      "import { S3Client } from '@aws-sdk/client-s3'",
      "import { DuckDBInstance } from '@duckdb/node-api'",
      "const { Command } = await import('commander')",
      "import leftPad from 'left-pad'",
    ]
    expect(packageFindings(file('src/log/a.ts', ...text))).toEqual([
      expect.stringContaining(':1: apache-arrow enters in format, client only'),
      expect.stringContaining(':2: @aws-sdk/client-s3 enters in storage only'),
      expect.stringContaining(':3: @duckdb/node-api enters in query only'),
      expect.stringContaining(':5: left-pad has no entrance'),
      expect.stringContaining(':4: commander enters in cli only'),
    ])
  })

  test('lets the types of Arrow go above format, but not into base', () => {
    const text = "import type { Table } from 'apache-arrow'"
    expect(packageFindings(file('src/engine/a.ts', text))).toEqual([])
    expect(packageFindings(file('src/base/a.ts', text))).toHaveLength(1)
  })

  test('refuses files, workers and processes where a port belongs', () => {
    const text = [
      "import { readFileSync } from 'node:fs'",
      "import { Worker } from 'node:worker_threads'",
      "import { cluster } from 'node:cluster'",
    ]
    expect(packageFindings(file('src/log/a.ts', ...text))).toEqual([
      expect.stringContaining(':1: node:fs is used in storage, cli'),
      expect.stringContaining(':2: node:worker_threads is used in engine, cli only'),
      expect.stringContaining(':3: node:cluster is used in no folder only'),
    ])
  })

  test('refuses a second file that imports the S3 client', () => {
    const line = "import { S3Client } from '@aws-sdk/client-s3'"
    const planted = [file('src/storage/a.ts', line), file('src/storage/b.ts', line)]
    expect(oneFileFindings(planted)).toEqual([
      '@aws-sdk/client-s3 enters in one file, and src/storage/a.ts and src/storage/b.ts import it',
    ])
  })

  test('refuses ambient time, timers, randomness, environment, console and network', () => {
    const lines = [
      'Date.now()',
      'new Date()',
      'performance.now()',
      'setTimeout(f, 1)',
      'AbortSignal.timeout(5)',
      'Math.random()',
      'crypto.randomUUID()',
      "process.env['HOME']",
      'console.log(1)',
      'process.stdout.write(x)',
      'process.exit(1)',
      'await fetch(url)',
    ]
    for (const line of lines) {
      expect(ambientFindings(file('src/log/a.ts', line)), line).toHaveLength(1)
    }
  })

  test('lets the owner of a port use what it wraps, and a port be called', () => {
    expect(ambientFindings(file('src/base/clock.ts', 'Date.now()'))).toEqual([])
    expect(ambientFindings(file('src/engine/environment.ts', 'process.env'))).toEqual([])
    const calls = ['clock.setTimeout(f)', 'new Date(ms)', '// Date.now()', "'console.log'"]
    expect(ambientFindings(file('src/log/a.ts', ...calls))).toEqual([])
  })

  test('refuses a long file and a wide line', () => {
    const long = file('src/log/a.ts', ...Array<string>(501).fill('x'))
    expect(sizeFindings(long)).toEqual([expect.stringContaining('501 lines')])
    const wide = file('src/log/a.ts', 'x', 'y'.repeat(121))
    expect(sizeFindings(wide)).toEqual([expect.stringContaining('a.ts:2: 121 characters wide')])
    expect(sizeFindings(file('src/log/a.ts', `throw '${'y'.repeat(121)}'`))).toEqual([])
    expect(sizeFindings(file('src/log/a.ts', `// ${'y'.repeat(121)}`))).toHaveLength(1)
  })

  test('refuses names that say nothing', () => {
    const declarations = [
      'class SegmentManager {}',
      'function uploadHelper() {}',
      'interface StoreImpl {}',
      'type SegmentInfo = 1',
      'class StoreBase {}',
      'const errorHandler = 1',
      'export enum Colour { Red }',
    ]
    for (const line of declarations) {
      expect(nameFindings(file('src/log/a.ts', line)), line).toHaveLength(1)
    }
    expect(nameFindings(file('src/log/path-utils.ts'))).toHaveLength(1)
    expect(nameFindings(file('src/log/pathNames.ts'))).toHaveLength(1)
    expect(nameFindings(file('src/log/base-offset.ts', 'const dataDir = 1'))).toEqual([])
  })

  test('refuses an open promise without an issue, and a silenced compiler', () => {
    const word = ['TO', 'DO'].join('')
    expect(promiseFindings(file('src/log/a.ts', `// ${word}: later`))).toHaveLength(1)
    expect(promiseFindings(file('src/log/a.ts', `// ${word}(#12): later`))).toEqual([])
    expect(promiseFindings(file('src/log/a.ts', ['// @ts', 'ignore'].join('-')))).toHaveLength(1)
  })

  test('refuses a hidden test, a test called it, and a test of a folder that is not there', () => {
    const only = ['test', "only('x', f)"].join('.')
    expect(testFindings(file('test/unit/log/a.test.ts', only))).toHaveLength(1)
    expect(testFindings(file('test/unit/log/a.test.ts', "  it('x', f)"))).toHaveLength(1)
    expect(testFindings(file('test/unit/common/a.test.ts', ''))).toHaveLength(1)
    expect(testFindings(file('test/unit/log/a.test.ts', "test('x', f)"))).toEqual([])
  })

  test('reads errors, links and the index out of a page', () => {
    const table = '| `log_exists` | conflict | The name is taken. | Choose another. |'
    expect(errorTableRows(table)).toEqual([{ code: 'log_exists', kind: 'conflict' }])
    expect(indexedPages('- [SQL](sql.md#top) and [the web](https://example.com)')).toEqual([
      'sql.md',
    ])
    const page = file('docs/a.md', '[gone](no-such-page.md)', '[up](../README.md)', '[x](#missing)')
    expect(brokenLinks(page, repositoryRoot)).toEqual([
      'docs/a.md:1: no-such-page.md does not exist',
      'docs/a.md:3: #missing is no heading of this page',
    ])
  })
})

describe('the reader of source texts', () => {
  test('sees through comments, strings, templates and regular expressions', () => {
    const text = [
      "// import './a.ts'",
      'const pattern = /[\'"`/]/g // Date.now()',
      'const half = width / 2 / scale',
      'const text = `now ${Date.now()} and Math.random()`',
    ].join('\n')
    const code = codeOnly(text)
    expect(importsOf(text)).toEqual([])
    expect(code).toContain('width / 2 / scale')
    expect(code).toContain('${Date.now()}')
    expect(code).not.toContain('Math.random')
    expect(code.split('\n')).toHaveLength(4)
    expect(code).toHaveLength(text.length)
  })

  test('tells type imports from value imports', () => {
    const text = [
      "import type { A } from './a.ts'",
      "import { type B, type C } from './b.ts'",
      "import {\n  type D,\n  e,\n} from './c.ts'",
      "export type { F } from './f.ts'",
    ].join('\n')
    expect(importsOf(text).map(({ typeOnly }) => typeOnly)).toEqual([true, true, false, true])
  })
})
