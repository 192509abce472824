/** Every run of the tests starts here: a wrong Node is one clear message instead of a hundred strange failures. */

const NODE_MAJOR_MIN = 24

export function setup(): void {
  const major = Number(process.versions.node.split('.')[0])
  if (major >= NODE_MAJOR_MIN) return
  throw new Error(
    `Stratalog needs Node ${NODE_MAJOR_MIN} or newer, and these tests run on ${process.version}. ` +
      'Start them with npm test: it uses the Node 24 that npm ci installs.',
  )
}
