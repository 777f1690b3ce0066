/* The trees of the zone: windows, sessions, cached answers, by their keys. */

#include "nchat_zone.h"
#include "nchat_zone_int.h"


static void nchat_tree_place(ngx_rbtree_node_t *temp, ngx_rbtree_node_t *node,
    ngx_rbtree_node_t *sentinel);
static ngx_int_t nchat_tree_compare(const nchat_key_t *key,
    const ngx_rbtree_node_t *node);


void
nchat_tree_init(nchat_tree_t *tree)
{
    ngx_rbtree_init(&tree->tree, &tree->sentinel, nchat_tree_place);
    ngx_queue_init(&tree->queue);
}


void *
nchat_tree_find(nchat_tree_t *tree, const nchat_key_t *key,
    ngx_rbtree_key_t hash)
{
    ngx_int_t           rc;
    ngx_rbtree_node_t  *node;

    node = tree->tree.root;

    while (node != &tree->sentinel) {

        if (hash != node->key) {
            node = (hash < node->key) ? node->left : node->right;
            continue;
        }

        rc = nchat_tree_compare(key, node);
        if (rc == 0) {
            return node;
        }

        node = (rc < 0) ? node->left : node->right;
    }

    return NULL;
}


void
nchat_tree_insert(nchat_tree_t *tree, nchat_tree_node_t *n,
    const nchat_key_t *key, ngx_rbtree_key_t hash)
{
    n->node.key = hash;
    n->key = *key;

    ngx_rbtree_insert(&tree->tree, &n->node);
    ngx_queue_insert_head(&tree->queue, &n->queue);
}


void
nchat_tree_renew(nchat_tree_t *tree, nchat_tree_node_t *n)
{
    ngx_queue_remove(&n->queue);
    ngx_queue_insert_head(&tree->queue, &n->queue);
}


void *
nchat_tree_oldest(nchat_tree_t *tree)
{
    if (ngx_queue_empty(&tree->queue)) {
        return NULL;
    }

    return ngx_queue_data(ngx_queue_last(&tree->queue), nchat_tree_node_t,
                          queue);
}


void
nchat_tree_remove(nchat_tree_t *tree, nchat_tree_node_t *n,
    ngx_slab_pool_t *pool)
{
    ngx_queue_remove(&n->queue);
    ngx_rbtree_delete(&tree->tree, &n->node);
    ngx_slab_free_locked(pool, n);
}


static void
nchat_tree_place(ngx_rbtree_node_t *temp, ngx_rbtree_node_t *node,
    ngx_rbtree_node_t *sentinel)
{
    ngx_int_t            rc;
    ngx_rbtree_node_t  **p;

    for ( ;; ) {

        if (node->key != temp->key) {
            rc = (node->key < temp->key) ? -1 : 1;

        } else {
            rc = nchat_tree_compare(&((nchat_tree_node_t *) node)->key, temp);
        }

        p = (rc < 0) ? &temp->left : &temp->right;

        if (*p == sentinel) {
            break;
        }

        temp = *p;
    }

    *p = node;
    node->parent = temp;
    node->left = sentinel;
    node->right = sentinel;
    ngx_rbt_red(node);
}


static ngx_int_t
nchat_tree_compare(const nchat_key_t *key, const ngx_rbtree_node_t *node)
{
    return ngx_memcmp(key, &((const nchat_tree_node_t *) node)->key,
                      sizeof(nchat_key_t));
}
