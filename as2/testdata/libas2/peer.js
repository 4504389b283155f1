// A peer by libas2.
//
//   node peer.js FOLDER serve        receives, answers with signed receipts, prints what it got
//   node peer.js FOLDER send URL     sends the file "content" and prints the receipt
//
// FOLDER holds us.pem, us.key.pem, them.pem and them.key.pem; the peer is "them".
const http = require('http')
const fs = require('fs')
const path = require('path')
// The package lies in the working directory.
const { AS2Parser, AS2Composer } = require(path.join(process.cwd(), 'node_modules', 'libas2'))

const [folder, mode, url] = process.argv.slice(2)
const read = name => fs.readFileSync(path.join(folder, name))
const agreement = () => ({
  host: {
    role: 'host', name: 'them', id: 'them', url: 'http://localhost', certificate: read('them.pem'),
    privateKey: read('them.key.pem'), decrypt: true, sign: 'sha-256', mdn: { async: false, signing: 'sha-256' }
  },
  partner: {
    role: 'partner', name: 'us', id: 'us', url: url || 'http://localhost', certificate: read('us.pem'),
    encrypt: 'aes256-CBC', verify: true, mdn: { signing: 'sha-256' }
  }
})

function body (stream, then) {
  const chunks = []
  stream.on('data', c => chunks.push(c))
  stream.on('end', () => then(Buffer.concat(chunks)))
}

function raw (message, content) { // one buffer: separate headers make libas2 read bodies as UTF-8
  let h = ''
  for (let i = 0; i < message.rawHeaders.length; i += 2) h += message.rawHeaders[i] + ': ' + message.rawHeaders[i + 1] + '\r\n'
  return Buffer.concat([Buffer.from(h + '\r\n'), content])
}

function serve () {
  const server = http.createServer((req, res) => body(req, async content => {
    try {
      const node = await AS2Parser.parse(raw(req, content))
      const { contentNode, dispositionNode, disposition } = await node.dispositionOut({ agreement: agreement() })
      console.log('received', JSON.stringify([disposition.notification.disposition, contentNode && contentNode.content ? contentNode.content.toString('latin1') : null]))
      const out = await dispositionNode.buildObject()
      res.writeHead(200, out.headers)
      res.end(out.body)
    } catch (e) {
      console.log('error', e)
      res.writeHead(500)
      res.end(String(e))
    }
  }))
  server.listen(0, '127.0.0.1', () => console.log('listening at http://127.0.0.1:' + server.address().port))
  process.stdin.on('end', () => process.exit(0)).resume()
}

async function send () {
  const composer = new AS2Composer({
    message: { contentType: 'application/edi-x12', filename: 'order.edi', content: read('content') },
    agreement: agreement()
  })
  const options = await composer.toRequestOptions()
  const u = new URL(url)
  const req = http.request({ method: 'POST', hostname: u.hostname, port: u.port, path: u.pathname, headers: options.headers }, res => body(res, async content => {
    try {
      const node = await AS2Parser.parse(raw(res, content))
      const inner = await node.verify({ cert: read('us.pem') })
      console.log('status', res.statusCode)
      console.log('verified', inner !== undefined)
      console.log(content.toString('latin1'))
    } catch (e) {
      console.log('error', e, content.toString('latin1'))
    }
    console.log('end')
  }))
  req.end(options.body)
}

mode === 'serve' ? serve() : send()
